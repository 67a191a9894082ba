"""Beside each Envoy: runs or adopts it, watches it and its members, reports to the control plane.

`run.run(Options(...))` is the whole agent; `tidegate agent` calls it. Its parts, each usable alone:

- `driver`: what runs the Envoy, as a Protocol; `process`, `container` and `attached` are three.
  `supervise` starts it again when it ended, `draining` ends its service politely.
- `admin` asks the Envoy's admin interface, `readings` reads the answers (pure).
- `pools` is what to watch; `watch` joins it with the readings, `counts` keeps counters from
  falling, `causes` and `diagnose` find out why a member is down, `ping` sends ICMP.
- `findings` keeps the newest of all that was found; `session` streams it to the control plane.

A fault in watching or reporting is logged and tried again; it never ends the Envoy.
"""
