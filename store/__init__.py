"""Durable records: SQLAlchemy 2 tables, one repository a noun, Alembic migrations; on SQLite or PostgreSQL."""
