-- Reads crust's packets in capture files whose contents are in clear, as crust-sim writes them.
--
--   wireshark -X lua_script:crust.lua run.contents.pcapng
--
-- The wire's own packets are random bytes to whoever lacks the keys, and to this script. It finds the others by the
-- comment that crust-sim gave them ("packet N of path P, …"); packets from elsewhere can be read with "Decode As…".

local crust = Proto("crust", "crust, in clear")

local function field(maker, name, ...) return maker("crust." .. name, ...) end

local f = {
  slot = field(ProtoField.uint24, "slot", "Slot"),
  check = field(ProtoField.uint32, "check", "Slot check", base.HEX),
  epoch = field(ProtoField.uint8, "epoch", "Key epoch"),
  path = field(ProtoField.uint24, "path", "Path"),
  number = field(ProtoField.uint64, "packet_number", "Packet number"),
  frame = field(ProtoField.string, "frame", "Frame"),
  stream = field(ProtoField.uint64, "stream", "Stream"),
  offset = field(ProtoField.uint64, "offset", "Offset"),
  length = field(ProtoField.uint64, "length", "Length"),
  code = field(ProtoField.uint64, "code", "Code"),
  size = field(ProtoField.uint64, "final_size", "Final size"),
  limit = field(ProtoField.uint64, "limit", "Limit"),
  priority = field(ProtoField.uint8, "priority", "Priority"),
  acked_path = field(ProtoField.uint64, "ack.path", "Acknowledged path"),
  largest = field(ProtoField.uint64, "ack.largest", "Largest acknowledged"),
  delay = field(ProtoField.uint64, "ack.delay", "Delay, in units of 8 µs"),
  more = field(ProtoField.uint64, "ack.more", "More ranges"),
  first = field(ProtoField.uint64, "ack.first", "First range, below the largest"),
  gap = field(ProtoField.uint64, "ack.gap", "Gap"),
  range = field(ProtoField.uint64, "ack.range", "Range"),
  ect0 = field(ProtoField.uint64, "ack.ect0", "ECT(0)"),
  ect1 = field(ProtoField.uint64, "ack.ect1", "ECT(1)"),
  ce = field(ProtoField.uint64, "ack.ce", "CE"),
  data = field(ProtoField.bytes, "data", "Data"),
}
crust.fields = (function()
  local all = {}
  for _, one in pairs(f) do all[#all + 1] = one end
  return all
end)()

local malformed = ProtoExpert.new("crust.malformed", "Not a frame", expert.group.MALFORMED, expert.severity.ERROR)
crust.experts = { malformed }

local comment = Field.new("frame.comment")

-- A variable-length integer (RFC 9000 §16) at `at`: what it covers, its value, and where the next thing is.
local function varint(buffer, at)
  local length = 2 ^ bit32.rshift(buffer(at, 1):uint(), 6)
  local covered = buffer(at, length)
  local value = covered:uint64()
  if length == 1 then value = value:band(0x3f)
  elseif length == 2 then value = value:band(0x3fff)
  elseif length == 4 then value = value:band(0x3fffffff)
  else value = value:band(UInt64(0xffffffff, 0x3fffffff)) end
  return covered, value, at + length
end

-- Adds variable-length integers as these fields; where the next thing is.
local function integers(tree, buffer, at, fields)
  for _, one in ipairs(fields) do
    local covered, value, after = varint(buffer, at)
    tree:add(one, covered, value)
    at = after
  end
  return at
end

-- Adds bytes: with their length before them, or all that are left.
local function bytes(tree, buffer, at, prefixed)
  local length = buffer:len() - at
  if prefixed then
    local covered, value, after = varint(buffer, at)
    tree:add(f.length, covered, value)
    length, at = value:tonumber(), after
  end
  if length > 0 then tree:add(f.data, buffer(at, length)) end
  return at + length
end

local function ack(tree, buffer, at, ecn)
  at = integers(tree, buffer, at, { f.acked_path, f.largest, f.delay })
  local _, more = varint(buffer, at)
  at = integers(tree, buffer, at, { f.more, f.first })
  for _ = 1, more:tonumber() do at = integers(tree, buffer, at, { f.gap, f.range }) end
  if ecn then at = integers(tree, buffer, at, { f.ect0, f.ect1, f.ce }) end
  return at
end

-- Frames whose fields are all variable-length integers.
local plain = {
  [0x01] = { "PING" },
  [0x04] = { "RESET_STREAM", f.stream, f.code, f.size },
  [0x05] = { "STOP_SENDING", f.stream, f.code },
  [0x10] = { "MAX_DATA", f.limit },
  [0x11] = { "MAX_STREAM_DATA", f.stream, f.limit },
  [0x12] = { "MAX_STREAMS, bidirectional", f.limit },
  [0x13] = { "MAX_STREAMS, unidirectional", f.limit },
}

-- One frame: its name and where the next one is; nothing where it is none.
local function read(tree, buffer, at)
  local _, value, after = varint(buffer, at)
  local kind = value:tonumber()
  if kind == 0x00 then
    while after < buffer:len() and buffer(after, 1):uint() == 0 do after = after + 1 end
    return "PADDING", after
  elseif plain[kind] then
    return plain[kind][1], integers(tree, buffer, after, { table.unpack(plain[kind], 2) })
  elseif kind == 0x02 or kind == 0x03 then
    return "ACK", ack(tree, buffer, after, kind == 0x03)
  elseif kind >= 0x08 and kind <= 0x0f then
    after = integers(tree, buffer, after, { f.stream })
    if bit32.btest(kind, 4) then after = integers(tree, buffer, after, { f.offset }) end
    after = bytes(tree, buffer, after, bit32.btest(kind, 2))
    return bit32.btest(kind, 1) and "STREAM, fin" or "STREAM", after
  elseif kind == 0x18 or kind == 0x19 then
    tree:add(f.priority, buffer(after, 1))
    after = integers(tree, buffer, after + 1, { f.offset })
    return "MESSAGE", bytes(tree, buffer, after, kind == 0x19)
  elseif kind == 0x1a then
    tree:add(f.priority, buffer(after, 1))
    return "MAX_MESSAGE_DATA", integers(tree, buffer, after + 1, { f.limit })
  elseif kind == 0x1c then
    after = integers(tree, buffer, after, { f.code })
    return "CLOSE", bytes(tree, buffer, after, true)
  elseif kind == 0x20 or kind == 0x21 then
    tree:add(f.data, buffer(after, 8))
    return kind == 0x20 and "PATH_CHALLENGE" or "PATH_RESPONSE", after + 8
  elseif kind == 0x30 or kind == 0x31 then
    return "DATAGRAM", bytes(tree, buffer, after, kind == 0x31)
  elseif kind >= 0x40 then
    return string.format("unknown (%#x)", kind), bytes(tree, buffer, after, true)
  end
end

function crust.dissector(buffer, packet, root)
  if buffer:len() < 16 then return 0 end
  packet.cols.protocol = "crust"
  local tree = root:add(crust, buffer())
  local number = buffer(11, 5):uint64()
  tree:add(f.slot, buffer(0, 3))
  tree:add(f.check, buffer(3, 4))
  tree:add(f.epoch, buffer(7, 1))
  tree:add(f.path, buffer(8, 3))
  tree:add(f.number, buffer(11, 5), number)
  local names, at = {}, 16
  while at < buffer:len() do
    local branch = tree:add(f.frame, buffer(at), "")
    -- Reading past the end is an error, which says that this is no frame.
    local whole, name, after = pcall(read, branch, buffer, at)
    if not whole or not name or after > buffer:len() then
      branch:add_proto_expert_info(malformed)
      names[#names + 1] = "?"
      break
    end
    branch:set_text(name)
    branch:set_len(after - at)
    if names[#names] ~= name then names[#names + 1] = name end
    at = after
  end
  packet.cols.info = string.format("#%s  %s", tostring(number), table.concat(names, ", "))
  return buffer:len()
end

crust:register_heuristic("udp", function(buffer, packet, root)
  local said = comment() and tostring(comment().value) or ""
  if said:match("^packet %d+ of path ") then
    crust.dissector(buffer, packet, root)
  elseif said:match("^hello: ") or said:match("^reply: ") then
    packet.cols.protocol = "crust"
    packet.cols.info = said
    root:add(crust, buffer(), said)
  else
    return false
  end
  return true
end)
DissectorTable.get("udp.port"):add_for_decode_as(crust)
