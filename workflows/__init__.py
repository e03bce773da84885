"""What must happen, in order, durably. Pure: no I/O, no clock, no network, no database."""
