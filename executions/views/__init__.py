"""The server-rendered pages. They live on the floor from which the account, the gate and the runs can all be seen."""
