"""Why a roll through an Auto Scaling group ended, and what is noted of it."""

SENTENCES = {
    "group.busy": "{group}: {execution} has held it since {since:time} UTC",
}
