"""An RTSP server on loopback, run with the system's Python: GStreamer's bindings live there.

    /usr/bin/python3 rtsp_server.py PORT FPS [USER PASSWORD]

Prints one line, `ready PORT`, and serves H.264 at rtsp://127.0.0.1:PORT/test until killed.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

port, fps = sys.argv[1], int(sys.argv[2])
Gst.init(None)
if not Gst.ElementFactory.find("x264enc"):
    sys.exit("no x264enc")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( videotestsrc is-live=true pattern=ball "
    f"! video/x-raw,width=160,height=120,framerate={fps}/1 "
    f"! x264enc tune=zerolatency key-int-max={fps} speed-preset=ultrafast ! rtph264pay name=pay0 )"
)
factory.set_shared(True)
if len(sys.argv) > 3:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    basic = GstRtspServer.RTSPAuth.make_basic(sys.argv[3], sys.argv[4])
    auth.add_basic(basic, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/test", factory)
if not server.attach(None):
    sys.exit("cannot listen")
print("ready", server.get_bound_port(), flush=True)
GLib.MainLoop().run()
