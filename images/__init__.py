"""Images that a template carries in itself: found in its HTML, hosted, and referred to by URL."""
