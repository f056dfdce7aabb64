"""Everything that speaks to an OpenStack API, through openstacksdk."""
