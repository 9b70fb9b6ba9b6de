"""Live views: state in Postgres that follows Kafka record by record, alongside the batch pipeline."""
