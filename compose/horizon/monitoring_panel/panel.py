"""The page's entry in the menu, and who may see it: those who administer the cloud."""

import horizon


class Monitoring(horizon.Panel):
    name = "Monitoring"
    slug = "monitoring"
    permissions = ("openstack.roles.admin",)
