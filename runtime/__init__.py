"""What every process shares: settings, logging, the Temporal connection, a clean end."""
