"""Code for the first data set, flights out of New York, other than its producer, dbt models and dashboard pages."""
