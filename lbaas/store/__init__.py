"""Where load balancers are kept: SQLAlchemy Core on SQLite or PostgreSQL. Only here is SQL."""
