// Rules of page requests: ATC-11, ATC-12, ATC-14.
import { device, REGISTER, sent, testRules } from '../../test/rules.js';
import { type Downstream, PageRequestInterface } from '../index.js';

/** A response to a group of PASID 5. */
const response = (prgi: number, code: number): Downstream => ({ kind: 'prg-response', pasid: 5, prgi, code });

testRules([
  {
    rule: 'ATC-11',
    says: 'sends no more page requests than it has credits, and gets those of a whole group back with its response',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      let inTime = 0;
      const seen = sent(dev, 2, function* () {
        yield* dev.pri.request(5, [1, 2], 1);
        dev.kernel.spawn('more', function* () {
          yield* dev.pri.request(5, [3, 4], 1);
        });
        yield* dev.kernel.clock.sleep(1);
        inTime = dev.agent.seen.length;
        yield* dev.link.down(response(0, 0));
      });
      return inTime === 2 && seen.length === 4;
    },
    broken: {
      pri: class extends PageRequestInterface {
        override available(): number {
          return this.limit;
        }
      },
    },
  },
  {
    rule: 'ATC-12',
    says: 'shows a response for an unknown group as Unexpected PRG Index, and ignores it',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      sent(dev, 2, function* () {
        yield* dev.pri.request(5, [1], 1);
        yield* dev.link.down(response(7, 0));
      });
      return dev.pri.state.outstanding === 1 && (dev.bus.read16(REGISTER.PRI_STATUS) & 3) === 2;
    },
    broken: {
      pri: class extends PageRequestInterface {
        override respond(tlp: Extract<Downstream, { kind: 'prg-response' }>): void {
          if (this.groups.has(tlp.prgi)) super.respond(tlp);
        }
      },
    },
  },
  {
    rule: 'ATC-12',
    says: 'stops its page requests at any response code but Success and Invalid Request',
    holds: (atc, pri) => {
      let stopped = true;
      for (const code of [2, 7, 14, 15]) {
        const dev = device(atc, pri);
        sent(dev, 2, function* () {
          yield* dev.pri.request(5, [1], 1);
          yield* dev.link.down(response(0, code));
        });
        stopped &&= !dev.pri.usable() && (dev.bus.read16(REGISTER.PRI_STATUS) & 3) === 1;
      }
      return stopped;
    },
    broken: {
      pri: class extends PageRequestInterface {
        override fail(): void {
          this.closeAll();
        }
      },
    },
  },
  {
    rule: 'ATC-14',
    says: 'has stopped once every outstanding group is answered, and not before',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      const stopped = (): number => dev.bus.read16(REGISTER.PRI_STATUS) & 0x100;
      const seen: number[] = [];
      sent(dev, 2, function* () {
        yield* dev.pri.request(5, [1], 1);
        dev.bus.write16(REGISTER.PRI, 0);
        seen.push(stopped());
        yield* dev.link.down(response(0, 0));
        yield* dev.kernel.clock.sleep(1);
        seen.push(stopped());
      });
      return seen.join() === '0,256';
    },
    broken: {
      pri: class extends PageRequestInterface {
        override updateStopped(): void {
          this.fn.setStopped(true);
        }
      },
    },
  },
]);
