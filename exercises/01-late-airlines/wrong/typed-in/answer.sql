select *
from (values ('EV', 'ExpressJet Airlines Inc.', 4108, 23.9), ('9E', 'Endeavor Air Inc.', 1468, 16.9)) as typed
    (carrier, airline, departures, mean_delay)
