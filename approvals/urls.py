"""Addresses of the gate, in the order of the journey."""

from django.urls import path

from approvals.views import (
    callbacks,
    certificate,
    comparing,
    history,
    inbox,
    notifications,
    people,
    policies,
    requests,
)

app_name = "approvals"

urlpatterns = [
    path("", inbox.inbox, name="inbox"),
    path("models/<model:name>/versions/<int:number>/promote/", requests.new, name="request_new"),
    path("requests/<int:pk>/", requests.detail, name="request"),
    path("requests/<int:pk>/compare/", comparing.compare, name="request_compare"),
    path("exhibits/<int:pk>/<str:filename>", comparing.exhibit, name="exhibit"),
    path("requests/<int:pk>/certificate/", certificate.certificate, name="request_certificate"),
    path("requests/<int:pk>/live/", requests.live, name="request_live"),
    path("requests/<int:pk>/review/", requests.review, name="request_review"),
    path("requests/<int:pk>/comment/", requests.comment, name="request_comment"),
    path("requests/<int:pk>/checks/<int:check>/override/", requests.override, name="request_override"),
    path("requests/<int:pk>/withdraw/", requests.withdraw, name="request_withdraw"),
    path("requests/<int:pk>/resubmit/", requests.resubmit, name="request_resubmit"),
    path("requests/<int:pk>/retry/", requests.retry, name="request_retry"),
    path("callbacks/checks/<str:token>/", callbacks.check, name="check_callback"),
    path("history/", history.history, name="history"),
    path("history/export.csv", history.export, name="history_export"),
    path("history/<int:sequence>/", history.event, name="event"),
    path("policies/", policies.policies, name="policies"),
    path("policies/new/", policies.edit_policy, name="policy_new"),
    path("policies/<int:pk>/", policies.edit_policy, name="policy"),
    path("policies/<int:pk>/move/", policies.move_policy, name="policy_move"),
    path("policies/<int:pk>/retire/", policies.retire_policy, name="policy_retire"),
    path("targets/new/", policies.edit_target, name="target_new"),
    path("targets/<int:pk>/", policies.edit_target, name="target"),
    path("targets/<int:pk>/retire/", policies.retire_target, name="target_retire"),
    path("preferences/notifications/", notifications.notifications, name="notifications"),
    path("people/", people.people, name="people"),
    path("people/invite/", people.invite, name="person_invite"),
    path("people/groups/", people.add_group, name="group_new"),
    path("people/<int:pk>/", people.person, name="person"),
    path("people/<int:pk>/active/", people.set_active, name="person_active"),
]
