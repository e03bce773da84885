"""The signal endpoint (ASGI): webhooks in, health, and the API that GenieOS reads."""
