import { describe, expect, it } from 'vitest';
import { isInspectError, parseRequest } from './index.js';

describe('parseRequest', () => {
  it.each([
    ['00:06.0 0x1000 read', '0000:00:06.0', 0x30, 0x1000n, 'read', -1],
    ['0000:00:1f.2 0xFFFFFFFFFFFFFFFF write', '0000:00:1f.2', 0xfa, 2n ** 64n - 1n, 'write', -1],
    ['  ab:ff:1f.7\t0x0  write 5 # a comment', '00ab:ff:1f.7', 0xffff, 0n, 'write', 5],
    ['1:0.0 0x1 read 0xfffff', '0000:01:00.0', 0x100, 1n, 'read', 0xfffff],
  ])('reads %s', (line, device, requester, iova, access, pasid) => {
    expect(parseRequest(line, 'r:1')).toMatchObject({ device, requester, iova, access, pasid });
  });

  it.each(['', '   ', '# a comment', '\t# another\r'])('takes %j for nothing', (line) => {
    expect(parseRequest(line, 'r:1')).toBeNull();
  });

  it.each([
    ['00:06.0 0x1000', /2 words/],
    ['00:06.0 0x1000 read 1 2', /5 words/],
    ['00:06.8 0x1000 read', /'00:06\.8' is no PCI function/],
    ['00:20.0 0x1000 read', /devices are 00 to 1f/],
    ['eth0 0x1000 read', /'eth0' is no PCI function/],
    ['00:06.0 4096 read', /'4096' is no address of 64 bits/],
    ['00:06.0 0x10000000000000000 read', /is no address of 64 bits/],
    ['00:06.0 -0x1 read', /is no address/],
    ['00:06.0 0x1000 exec', /'exec' is neither read nor write/],
    ['00:06.0 0x1000 read 1048576', /'1048576' is no PASID of 20 bits/],
    ['00:06.0 0x1000 read -1', /'-1' is no PASID/],
    ['00:06.0 0x1000 read 1e3', /'1e3' is no PASID/],
    [`00:06.0 0x1000 ${'x'.repeat(300)}`, /the line has 315 characters/],
    ['\u0000\u001b[2J 0x1000 read', /'\?\?\[2J' is no PCI function/],
  ])('refuses %j, with its place and what a request is', (line, message) => {
    let error: unknown;
    try {
      parseRequest(line, 'requests.txt:7');
    } catch (caught) {
      error = caught;
    }
    expect(isInspectError(error, 'EBADREQUEST')).toBe(true);
    expect(String(error)).toMatch(message);
    expect(String(error)).toMatch(/requests\.txt:7: .*BDF IOVA read\|write \[PASID\]/);
  });
});
