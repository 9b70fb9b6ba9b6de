"""Code about the first data set, flights out of New York, that is neither a producer nor a dbt model nor a page."""
