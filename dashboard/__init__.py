"""The dashboard: four pages about the platform, made on the server from what its reader role may see."""
