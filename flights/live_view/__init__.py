"""The live view of flights: departures, delays and cancellations by airport and hour of event time."""
