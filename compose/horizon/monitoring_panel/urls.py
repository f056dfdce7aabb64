"""Horizon asks for a login, and for the panel's permissions, before a view of these is called."""

from django.urls import re_path

from monitoring_panel.views import index

urlpatterns = [re_path(r"^$", index, name="index")]
