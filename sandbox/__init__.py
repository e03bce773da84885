"""Iterable stand-in and development stack.

Iterable has no sandbox mode, so this room ships one. It shares no code with the connector: what it accepts and answers
is an independent witness of what Iterable documents. Where Iterable's behaviour is unknown, a project setting decides.
"""
