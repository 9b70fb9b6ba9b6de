"""The Airflow DAG quakes_report: reports the dates that have changed in the mart agg_quakes_daily."""
