"""`provision cloud`: the `local` cloud, OpenStack in containers on this machine or several."""
