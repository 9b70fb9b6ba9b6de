"""The command line: Typer commands over the platform's functions, one module per group."""
