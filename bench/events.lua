-- Distinct events for wrk, one a request: `wrk -s events.lua URL -- RUN SENDS PAUSE_MS`.
-- Event n concerns send n % SENDS; (send, kind, second) is never the same twice within a RUN or between two.
local KINDS = { "emailSend", "emailOpen", "emailClick" }
local run, sends, pause, n = 0, 1, 0, -1
local BODY = '{"email":"user%d@example.com","eventName":"%s","dataFields":{"messageId":"m%d","createdAt":"2026-01-%02d %02d:%02d:%02d +00:00",'
  .. '"campaignId":1,"templateId":7,"emailSubject":"Welcome to Acme","messageTypeId":12,"channelId":3,"contentId":991,'
  .. '"campaignName":"genieos welcome","transactionalData":{"genieos":{"workspace":"bench","send":"s%d"},"first_name":"Ann"}}}'

function init(args)
  run, sends, pause = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
end

function request()
  n = n + 1
  local send, round = n % sends, math.floor(n / sends)
  local second = math.floor(round / 3)
  local body = string.format(BODY, send, KINDS[round % 3 + 1], send, run % 28 + 1, math.floor(second / 3600),
    math.floor(second / 60) % 60, second % 60, send)
  return wrk.format("POST", nil, nil, body)
end

function delay()
  return pause
end

function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests":%d,"refused":%d,"lost":%d,"microseconds":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
