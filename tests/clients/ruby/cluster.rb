# redis-rb 4.8, as Debian packages it, in cluster mode and with Sentinels.

require 'json'
require 'redis'

NODES = JSON.parse(ENV.fetch('TENURE_NODES'))
PATIENCE_S = 20

$count = $failed = 0

def test(name)
  $count += 1
  yield
  puts "ok #{$count} - redis-rb: #{name}"
rescue StandardError => e
  $failed += 1
  puts "not ok #{$count} - redis-rb: #{name}", "  #{e.class}: #{e.message}", "  #{e.backtrace.first}"
end

def same(got, wanted)
  raise "got #{got.inspect}, wanted #{wanted.inspect}" unless got == wanted
end

# Tries until it works: a failover takes as long as it takes. redis-rb wraps every way in which a connection cannot be made but
# one: that the process ends between the accepting and the answer.
def eventually
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE_S
  begin
    yield
  rescue Redis::BaseError, Errno::ECONNRESET
    raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

    sleep 0.02
    retry
  end
end

def kill(port)
  Process.kill('KILL', NODES.find { |node| node['address'].end_with?(":#{port}") }['pid'])
end

def cluster
  client = Redis.new(cluster: NODES.map { |node| "redis://#{node['address']}" }, timeout: 2, reconnect_attempts: 3)
  test('cluster: keys of all slots are found where they are') do
    300.times { |n| client.set("k:#{n}", n) }
    same((0...300).map { |n| client.get("k:#{n}") }, (0...300).map(&:to_s))
    same(client.dbsize, 300)
    same(client.scan_each(match: 'k:*', count: 50).to_a.uniq.size, 300)
  end
  test('cluster: keys of one slot in one command and in a pipeline') do
    same(client.mset('{t}a', 1, '{t}b', 2), 'OK')
    same(client.pipelined { |p| 2.times { p.incr('{t}a') } }, [2, 3])
  end
  test('cluster: when a primary is killed, its successor is found') do
    client.set('foo', 'before')
    sleep 0.2 # Redis replicates after it has acknowledged.
    slots = Redis.new(url: "redis://#{NODES[0]['address']}").call('CLUSTER', 'SLOTS')
    kill(slots.find { |first, last| (first..last).cover?(12_182) }[2][1])
    same(eventually { client.get('foo') }, 'before')
    same(eventually { client.set('foo', 'after') }, 'OK')
  end
end

def sentinel
  sentinels = ENV.fetch('TENURE_SENTINELS').split(',').map { |at| at.split(':') }
  list = sentinels.map { |host, port| { host: host, port: port.to_i } }
  client = Redis.new(url: "redis://#{ENV.fetch('TENURE_MASTER')}", sentinels: list, role: :master, timeout: 2)
  test('Sentinels: the master is found and serves every key') do
    200.times { |n| client.set("k:#{n}", n) }
    same(client.mget((0...200).map { |n| "k:#{n}" }), (0...200).map(&:to_s))
  end
  test('Sentinels: when the master is killed, another is found') do
    client.set('foo', 'before')
    sleep 0.2 # As above.
    kill(client.connection[:port])
    eventually { client.set('foo', 'after') }
    same(client.get('foo'), 'after')
  end
end

ARGV[0] == 'cluster' ? cluster : sentinel
puts "1..#{$count}"
exit($failed.zero?)
