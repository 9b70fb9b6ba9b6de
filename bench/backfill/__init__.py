"""What a backfill costs by its number of dates, and by how much history there is."""
