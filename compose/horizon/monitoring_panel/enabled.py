"""Read by Horizon from its folder `enabled`, as the file _9100_monitoring.py: where the page is in its menu."""

PANEL = "monitoring"
PANEL_DASHBOARD = "admin"
PANEL_GROUP = "admin"
ADD_PANEL = "monitoring_panel.panel.Monitoring"
