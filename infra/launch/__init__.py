"""The launch: from an empty machine to a running platform with marts."""
