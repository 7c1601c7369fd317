// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0
//
// What E2B's own SDK can do with E2B it can do with the fake: E2B_API_URL, E2B_SANDBOX_URL and E2B_API_KEY lead to it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { CommandExitError, FileType, NotFoundError, Sandbox, SandboxNotFoundError, TimeoutError } from 'e2b'
import { Sandbox as Interpreter } from '@e2b/code-interpreter'

let box

before(async () => {
  box = await Sandbox.create({ timeoutMs: 120_000, metadata: { purpose: 'shared' }, envs: { FROM_CREATE: 'yes' } })
})

after(async () => {
  await box.kill()
})

test('a new sandbox runs, and says what it is', async () => {
  assert.equal(await box.isRunning(), true)
  const info = await box.getInfo()
  assert.equal(info.sandboxId, box.sandboxId)
  assert.equal(info.state, 'running')
  assert.deepEqual(info.metadata, { purpose: 'shared' })
  assert.ok(info.endAt - info.startedAt > 110_000)
})

test('commands give both streams and the exit code', async () => {
  const chunks = []
  const result = await box.commands.run('echo "$FROM_CREATE $OWN"; echo problem >&2; pwd; id -un', {
    envs: { OWN: "it's" }, onStdout: (data) => { chunks.push(data) },
  })
  assert.equal(result.exitCode, 0)
  assert.equal(result.stdout, "yes it's\n/home/user\nuser\n")
  assert.equal(result.stderr, 'problem\n')
  assert.equal(chunks.join(''), result.stdout)
  await assert.rejects(box.commands.run('exit 3'), (error) => error instanceof CommandExitError && error.exitCode === 3)
  const root = await box.commands.run('id -u; pwd', { user: 'root', cwd: '/tmp' })
  assert.equal(root.stdout, '0\n/tmp\n')
})

test('a command that takes too long is ended', async () => {
  await assert.rejects(box.commands.run('sleep 60', { timeoutMs: 300 }), TimeoutError)
})

test('wrong users and directories are errors', async () => {
  await assert.rejects(box.commands.run('true', { user: 'nobody-knows' }))
  await assert.rejects(box.commands.run('true', { cwd: '/no/such/directory' }), /does not exist/)
})

test('a command in the background is listed, fed, reached again and killed', async () => {
  const command = await box.commands.run('while read -r line; do echo "got $line"; done; sleep 60', {
    background: true, stdin: true, timeoutMs: 0,
  })
  const listed = await box.commands.list()
  assert.ok(listed.some((process) => process.pid === command.pid))
  const again = await box.commands.connect(command.pid)
  await box.commands.sendStdin(command.pid, 'one\n')
  const deadline = Date.now() + 10_000
  while (!again.stdout.includes('got one\n') && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10))
  assert.equal(again.stdout, 'got one\n')
  await box.commands.closeStdin(command.pid)
  assert.equal(await box.commands.kill(command.pid), true)
  await assert.rejects(command.wait(), CommandExitError)
  assert.equal(await box.commands.kill(command.pid), false)
})

test('files go in and out as they are', async () => {
  const content = randomBytes(200_000)
  const written = await box.files.write('deep/er/file.bin', new Blob([content]))
  assert.equal(written.path, '/home/user/deep/er/file.bin')
  assert.deepEqual(Buffer.from(await box.files.read('deep/er/file.bin', { format: 'bytes' })), content)
  await box.files.write([{ path: '/tmp/a', data: 'a' }, { path: '/tmp/b', data: 'b' }])
  assert.equal(await box.files.read('/tmp/b'), 'b')
  assert.equal(await box.files.makeDir('/home/user/dir'), true)
  assert.equal(await box.files.makeDir('/home/user/dir'), false)
  await box.files.rename('/tmp/a', '/home/user/dir/moved')
  const info = await box.files.getInfo('/home/user/dir/moved')
  assert.equal(info.size, 1)
  assert.equal(info.type, FileType.FILE)
  assert.equal(info.owner, 'user')
  await box.commands.run('ln -s moved dir/link && ln -s nowhere dir/dangling')
  const entries = await box.files.list('/home/user/dir')
  // The SDK leaves out what is neither file nor directory, as a link that leads nowhere.
  assert.deepEqual(entries.map((entry) => entry.name).sort(), ['link', 'moved'])
  assert.equal(entries.find((entry) => entry.name === 'link').symlinkTarget, '/home/user/dir/moved')
  await box.files.remove('/home/user/dir')
  assert.equal(await box.files.exists('/home/user/dir'), false)
  await assert.rejects(box.files.read('/home/user/dir/moved'), NotFoundError)
})

test('a signed URL is enough for a file', async () => {
  await box.files.write('/tmp/signed', 'content')
  const good = await fetch(withTarget(await box.downloadUrl('/tmp/signed', { useSignatureExpiration: 60 })))
  assert.equal(good.status, 200)
  assert.equal(await good.text(), 'content')
  const bad = new URL(await box.downloadUrl('/tmp/signed', { useSignatureExpiration: 60 }))
  bad.searchParams.set('signature', 'v1_wrong')
  assert.equal((await fetch(withTarget(bad))).status, 401)
})

// The SDK's URLs name the sandbox by host; here all have one host, so headers do.
function withTarget(url) {
  return new Request(url, { headers: { 'E2b-Sandbox-Id': box.sandboxId, 'E2b-Sandbox-Port': '49983' } })
}

test('lists have what their metadata asks for, over several pages', async () => {
  const value = 'a b&c=d/é+%'
  const made = await Promise.all(Array.from({ length: 3 }, () => Sandbox.create({ metadata: { 'odd/key': value }, timeoutMs: 60_000 })))
  try {
    const pages = Sandbox.list({ query: { metadata: { 'odd/key': value } }, limit: 2 })
    const found = []
    while (pages.hasNext) found.push(...await pages.nextItems())
    assert.deepEqual(found.map((one) => one.sandboxId).sort(), made.map((one) => one.sandboxId).sort())
    const none = await Sandbox.list({ query: { metadata: { 'odd/key': 'other' } } }).nextItems()
    assert.equal(none.length, 0)
  } finally {
    await Promise.all(made.map((one) => one.kill()))
  }
})

test('the timeout is set, and ends the sandbox', async () => {
  const short = await Sandbox.create({ timeoutMs: 60_000 })
  await short.setTimeout(600_000)
  const { endAt } = await short.getInfo()
  assert.ok(endAt.getTime() - Date.now() > 500_000)
  await short.setTimeout(1000)
  const deadline = Date.now() + 10_000
  while (await short.isRunning() && Date.now() < deadline) await new Promise((done) => setTimeout(done, 100))
  await assert.rejects(short.getInfo(), SandboxNotFoundError)
})

test('a paused sandbox keeps its files and processes, and goes on', async () => {
  const paused = await Sandbox.create({ timeoutMs: 60_000 })
  try {
    await paused.files.write('kept', 'kept')
    await paused.commands.run('sleep 300 >/dev/null 2>&1 & echo $! >pid')
    assert.equal(await paused.pause(), true)
    assert.equal(await paused.pause(), false)
    const [listed] = await Sandbox.list({ query: { state: ['paused'] } }).nextItems()
    assert.equal(listed.sandboxId, paused.sandboxId)
    const resumed = await Sandbox.connect(paused.sandboxId, { timeoutMs: 60_000 })
    assert.equal(await resumed.files.read('kept'), 'kept')
    assert.equal((await resumed.commands.run('kill -0 "$(cat pid)" && echo alive')).stdout, 'alive\n')
  } finally {
    assert.equal(await paused.kill(), true)
  }
  assert.equal(await paused.kill(), false)
  await assert.rejects(Sandbox.connect(paused.sandboxId), NotFoundError)
})

test('a snapshot makes sandboxes with its files', async () => {
  await box.files.write('/home/user/saved', 'saved')
  const { snapshotId } = await box.createSnapshot()
  const restored = await Sandbox.create(snapshotId, { timeoutMs: 60_000 })
  try {
    assert.equal(await restored.files.read('/home/user/saved'), 'saved')
  } finally {
    await restored.kill()
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), true)
  }
})

test('wrong keys and templates are refused', async () => {
  await assert.rejects(Sandbox.create({ apiKey: 'e2b_ffffffffffffffffffffffffffffffffffffffff' }), /401|[Uu]nauthorized/)
  await assert.rejects(Sandbox.create('no-such-template'), /404|not found/)
})

test('a private port answers who has the token', async () => {
  const hidden = await Sandbox.create({ timeoutMs: 60_000, network: { allowPublicTraffic: false } })
  try {
    assert.ok(hidden.trafficAccessToken)
    const headers = { 'E2b-Sandbox-Id': hidden.sandboxId, 'E2b-Sandbox-Port': '31947' }
    const url = process.env.E2B_SANDBOX_URL
    assert.equal((await fetch(url, { headers })).status, 403)
    headers['e2b-traffic-access-token'] = hidden.trafficAccessToken
    const closed = await fetch(url, { headers })
    assert.equal(closed.status, 502)
    assert.match((await closed.json()).message, /port is not open/)
  } finally {
    await hidden.kill()
  }
})

test('the code interpreter runs code that remembers, and tells what came of it', async () => {
  const interpreter = await Interpreter.create({ timeoutMs: 60_000 })
  try {
    await interpreter.runCode('x = 20')
    const execution = await interpreter.runCode('import sys\nprint("out")\nprint("err", file=sys.stderr)\nx * 2 + 2')
    assert.deepEqual(execution.logs.stdout.join(''), 'out\n')
    assert.deepEqual(execution.logs.stderr.join(''), 'err\n')
    assert.equal(execution.text, '42')
    const failed = await interpreter.runCode('1/0')
    assert.equal(failed.error.name, 'ZeroDivisionError')
    const context = await interpreter.createCodeContext({ cwd: '/tmp' })
    const other = await interpreter.runCode('import os; os.getcwd()', { context })
    assert.equal(other.text, "'/tmp'")
    assert.equal((await interpreter.runCode('x', { context })).error.name, 'NameError')
  } finally {
    await interpreter.kill()
  }
})
