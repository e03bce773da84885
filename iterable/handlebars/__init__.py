"""Handlebars as Iterable speaks it: parsed to check templates before Iterable sees them, never to render.

Iterable does not say which implementation it runs; its helpers are those of handlebars.java. What handlebars.java and
handlebars.js both refuse is an error here. What only one of them refuses, or what neither documents, is a doubt: the
template may go out, and somebody should look.
"""
