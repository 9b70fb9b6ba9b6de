"""Live views: state in Postgres that follows Kafka record by record, beside the batch."""
