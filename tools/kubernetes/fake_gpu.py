#!/usr/bin/env python3
"""Offer COUNT devices `nvidia.com/gpu` on a node of the bench that are none: fake_gpu.py NODE-FOLDER [COUNT]

NODE-FOLDER is run/nodes/NAME below the folder of bench.py. Needs grpcio. What it gives a container is an environment variable that names them.
The messages of the device plugin API, v1beta1, are so few that they are written by hand.
"""

import sys
import time
from concurrent import futures
from pathlib import Path

import grpc


def field(number, value):
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(value)]) + value


def strings(message):
    """The length-delimited fields of a message (each below 128 bytes)."""
    while message:
        size = message[1]
        yield message[0] >> 3, message[2 : 2 + size]
        message = message[2 + size :]


def devices(request, context):
    yield b"".join(field(1, field(1, f"GPU-fake-{i}") + field(2, "Healthy")) for i in range(COUNT))
    while context.is_active():
        time.sleep(1)


def allocate(request, context):
    answer = b""
    for _, container in strings(request):
        names = ",".join(name.decode() for _, name in strings(container))
        answer += field(1, field(1, field(1, "NVIDIA_VISIBLE_DEVICES") + field(2, names)))
    return answer


FOLDER, COUNT = Path(sys.argv[1]) / "var/lib/kubelet/device-plugins", int((sys.argv[2:] or [2])[0])
empty = grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
service = {"ListAndWatch": grpc.unary_stream_rpc_method_handler(devices),
           "Allocate": grpc.unary_unary_rpc_method_handler(allocate),
           "GetDevicePluginOptions": empty, "PreStartContainer": empty}  # fmt: skip
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", service),))
(FOLDER / "fake.sock").unlink(missing_ok=True)
server.add_insecure_port(f"unix:{FOLDER / 'fake.sock'}")
server.start()
with grpc.insecure_channel(f"unix:{FOLDER / 'kubelet.sock'}") as kubelet:
    register = kubelet.unary_unary("/v1beta1.Registration/Register")
    register(field(1, "v1beta1") + field(2, "fake.sock") + field(3, "nvidia.com/gpu"), timeout=10)
print("registered", flush=True)
server.wait_for_termination()
