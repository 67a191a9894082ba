"""The agents beside the Envoys: what they watch, what they found, and what that makes of objects.

`hub.Agents` is the whole of it for others; it implements `api.agents.Agents`.
"""
