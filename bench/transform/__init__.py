"""What a transform costs, by what was touched and by how much history there is."""
