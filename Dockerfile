# One image for the worker, the endpoint, the sandbox and the command line: docker-compose.yml says which one runs.
# The Python is of the minor version that the tests run on.

FROM python:3.11.16-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/build && python -m venv /opt/connector
COPY requirements/build.lock requirements/runtime.lock /locks/
RUN /opt/build/bin/pip install --require-hashes -r /locks/build.lock \
 && /opt/connector/bin/pip install --require-hashes -r /locks/runtime.lock
COPY . /source
WORKDIR /source
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /wheel \
 && /opt/connector/bin/pip install --no-deps --no-index /wheel/*.whl \
 && /opt/connector/bin/python -m compileall -q /opt/connector/lib \
 && /opt/connector/bin/pip uninstall --yes pip

FROM python:3.11.16-slim-trixie
RUN groupadd --gid 10001 connector \
 && useradd --uid 10001 --gid connector --no-create-home --shell /usr/sbin/nologin connector \
 && install --directory --owner=connector --group=connector /assets
COPY --from=build /opt/connector /opt/connector
ENV PATH=/opt/connector/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/connector
USER 10001:10001
CMD ["connector", "--help"]
