"""Models that cross a boundary: GenieOS in and out, workflow to activity. Imports nothing of ours."""
