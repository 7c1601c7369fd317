# Copyright The sandbox-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# A kernel of the fake code interpreter: reads a JSON object with code, one a line, runs the code in one namespace that stays,
# and writes what comes of it as JSON objects, one a line, to descriptor 3. An interrupt ends the code, not the kernel.
import ast
import base64
import io
import json
import os
import signal
import sys
import traceback

events = os.fdopen(3, "w", buffering=1, encoding="utf-8")
namespace = {"__name__": "__main__"}
count = 0


def emit(kind, **fields):
    print(json.dumps({"type": kind, **fields}), file=events, flush=True)


class Stream(io.TextIOBase):
    def __init__(self, kind):
        self.kind = kind

    def writable(self):
        return True

    def write(self, text):
        if text:
            emit(self.kind, text=text, timestamp="2026-01-01T00:00:00Z")
        return len(text)


def show(value, main):
    formats = {"text": repr(value)}
    for name, method in (
        ("html", "_repr_html_"), ("markdown", "_repr_markdown_"), ("svg", "_repr_svg_"), ("png", "_repr_png_"),
        ("jpeg", "_repr_jpeg_"), ("latex", "_repr_latex_"), ("json", "_repr_json_"),
    ):
        made = getattr(value, method, lambda: None)()
        if made is not None:
            formats[name] = base64.b64encode(made).decode() if isinstance(made, bytes) else made
    emit("result", is_main_result=main, **formats)


def display(*values):
    for value in values:
        show(value, False)


def run(code):
    tree = ast.parse(code, "<cell>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), namespace)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
        if value is not None:
            show(value, True)


namespace["display"] = display
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
while True:
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        continue
    if not line:
        break
    request = json.loads(line)
    count += 1
    emit("number_of_executions", execution_count=count)
    os.environ.update(request.get("env_vars") or {})
    try:
        run(request["code"])
    except BaseException as error:
        emit("error", name=type(error).__name__, value=str(error), traceback=traceback.format_exc())
    for key in request.get("env_vars") or {}:
        os.environ.pop(key, None)
    emit("end_of_execution")
