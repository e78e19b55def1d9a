# redis-rb, and redis-rack's session store behind WEBrick: the Ruby world as Debian packages it.

require 'json'
require 'net/http'
require 'rack'
require 'rack/handler/webrick'
require 'rack/session/redis'
require 'redis'

HOST, PORT = ENV.fetch('TENURE_ADDR').split(':')
LIFETIME_S = 600

# Counts results and prints them in the Test Anything Protocol.
class Report
  def initialize
    @count = @failed = 0
  end

  def test(name)
    @count += 1
    yield
    puts "ok #{@count} - #{name}"
  rescue StandardError => e
    @failed += 1
    puts "not ok #{@count} - #{name}", "  #{e.class}: #{e.message}", "  #{e.backtrace.first}"
  end

  def finish
    puts "1..#{@count}"
    exit(@failed.zero?)
  end
end

def same(got, wanted, what)
  raise "#{what}: got #{got.inspect}, wanted #{wanted.inspect}" unless got == wanted
end

def between(got, low, high, what)
  raise "#{what}: got #{got}, wanted #{low} to #{high}" unless got.between?(low, high)
end

# A shop on nothing but Rack.
SHOP = lambda do |env|
  request = Rack::Request.new(env)
  session = request.session
  case request.path
  when '/login'
    env['rack.session.options'][:renew] = true
    session['user'] = request.params['user']
    session['cart'] = []
  when '/cart' then session['cart'] = session['cart'] + [request.params['item']]
  when '/logout' then session.destroy
  end
  body = JSON.generate(user: session['user'], cart: session['cart'] || [])
  [200, { 'content-type' => 'application/json' }, [body]]
end

# A browser, as far as sessions are concerned.
class Browser
  attr_reader :id

  def initialize(port)
    @port = port
  end

  def get(path)
    request = Net::HTTP::Get.new(path)
    request['cookie'] = "rack.session=#{@id}" if @id
    response = Net::HTTP.start('127.0.0.1', @port) { |http| http.request(request) }
    cookie = response['set-cookie']
    @id = cookie[/rack\.session=([^;]*)/, 1] if cookie
    JSON.parse(response.body)
  end
end

# The store keeps sessions under the hash of their public id.
def key_of(browser)
  "rack:session:#{Rack::Session::SessionId.new(browser.id).private_id}"
end

def serve(app)
  quiet = WEBrick::Log.new(File::NULL)
  server = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: 0, Logger: quiet, AccessLog: [])
  server.mount('/', Rack::Handler::WEBrick, app)
  thread = Thread.new { server.start }
  yield server.listeners.first.local_address.ip_port
ensure
  server.shutdown
  thread.join
end

report = Report.new
redis = Redis.new(host: HOST, port: PORT.to_i)
redis.flushall

# A new id is claimed in MULTI when it is to expire; without transactions it is claimed with SETNX.
sessions = Rack::Session::Redis.new(SHOP, redis_server: "redis://#{HOST}:#{PORT}/0/rack:session")

serve(sessions) do |port|
  logged_in = lambda do |user|
    Browser.new(port).tap { |browser| browser.get("/login?user=#{user}") }
  end

  report.test('redis-rack: login and cart') do
    browser = logged_in.call('ann')
    browser.get('/cart?item=tea')
    browser.get('/cart?item=cup')
    same(browser.get('/me'), { 'user' => 'ann', 'cart' => %w[tea cup] }, 'the page')
    same(redis.exists?(key_of(browser)), true, 'the stored session')
  end

  report.test('redis-rack: a new id at login, the old session removed') do
    browser = logged_in.call('ann')
    old = key_of(browser)
    browser.get('/login?user=bob')
    same(key_of(browser) == old, false, 'the id stays')
    same(redis.exists?(old), false, 'the old session')
    same(browser.get('/me')['user'], 'bob', 'the user')
  end

  report.test('redis-rack: logout destroys the session') do
    browser = logged_in.call('ann')
    old = key_of(browser)
    browser.get('/logout')
    same(redis.exists?(old), false, 'the session')
    same(browser.get('/me')['user'], nil, 'the user')
  end
end

report.test('redis-rb: every byte comes back') do
  every = (0..255).to_a.pack('C*')
  redis.set('bytes', every)
  same(redis.get('bytes').b, every, 'the value')
end

report.test('redis-rb: SET options, lifetimes and nil') do
  same(redis.set('k', 'v', nx: true, px: 90_000), true, 'SET NX')
  same(redis.set('k', 'v', nx: true), false, 'SET NX again')
  between(redis.pttl('k'), 80_000, 90_000, 'lifetime in ms')
  same(redis.mget('k', 'absent'), ['v', nil], 'MGET')
  same(redis.getset('k', 'w'), 'v', 'GETSET')
  same(redis.ttl('k'), -1, 'lifetime after GETSET')
end

report.test('redis-rb: hashes, scans and counters') do
  fields = (0...300).to_h { |n| ["f#{n}", "v#{n}"] }
  redis.mapped_hmset('hash', fields)
  same(redis.hgetall('hash'), fields, 'HGETALL') unless redis.hgetall('hash').sort == fields.sort
  same(redis.hscan_each('hash', count: 10).to_h.size, 300, 'fields seen by HSCAN')
  same(redis.hincrby('hash', 'n', 3), 3, 'HINCRBY')
  same(redis.scan_each(match: 'ha*').to_a, ['hash'], 'SCAN')
end

report.test('redis-rb: a pipeline answers in order') do
  replies = redis.pipelined { |pipeline| 100.times { pipeline.incr('counter') } }
  same(replies, (1..100).to_a, 'the replies')
end

report.test('redis-rb: errors are exceptions and the connection goes on') do
  begin
    redis.get('hash')
    raise 'no error'
  rescue Redis::CommandError => e
    same(e.message[/\A\w+/], 'WRONGTYPE', 'the code')
  end
  same(redis.ping, 'PONG', 'PING')
end

report.test('redis-rb: a connection that was killed comes back by itself') do
  victim = Redis.new(host: HOST, port: PORT.to_i)
  redis.call('CLIENT', 'KILL', 'ID', victim.call('CLIENT', 'ID'))
  same(victim.ping, 'PONG', 'PING after reconnecting')
end

report.finish
