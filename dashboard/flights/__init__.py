"""The flights data set on the dashboard: its queries, filters, calendars, comparison of live view and batch, pages."""
