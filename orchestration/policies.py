"""Named automation and freshness, each with its reason and its number.

Handing over a won deal within five minutes (rule H-16) and feeding status back within fifteen (S-9) are the promises;
sensors carry the first, the sweep the second, and freshness policies say when either has been broken.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

# A sensor asks each platform one cheap question per tick. 15 s keeps the median deal-to-project time well under a
# minute at 4 calls a minute (5,760 a day, against 100,000 a day that an Enterprise Salesforce org is given).
SENSOR_INTERVAL_SECONDS = 15

# S-9: never rely on events alone. The sweep loads everything changed since the last one, minus the overlap.
SWEEP_CRON = "*/15 * * * *"

# Every night: full id sweeps for platforms that leave no tombstones, and a whole rebuild with every test.
NIGHTLY_CRON = "30 2 * * *"

# Raw tables are touched by every sweep; two missed sweeps are a warning, an hour is a failure.
RAW_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=1), warn_window=timedelta(minutes=35))

# Write-backs run in every sweep as well; a day without one means that sales and finance look at old figures.
WRITE_BACK_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(minutes=35))
