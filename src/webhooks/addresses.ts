/**
 * Where webhooks may go. Clients choose the address, so it may be one that only this machine can reach: a
 * metadata service, a database, another service behind the firewall. Only public addresses are connected
 * to, unless the operator allows more. What is checked is the address that the connection is made to: a
 * name is resolved once, and the connection uses the answer that was looked at.
 */
import { lookup as dnsLookup } from 'node:dns/promises';
import type { LookupAddress } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { AppError } from '../errors.ts';

/** Lookups under way at once: each holds one of the few threads that all file access of a process shares. */
const LOOKUPS_MAX = 2;

export class AddressRefusedError extends AppError {
  readonly code = 'address_refused';
}

export class AllowListInvalidError extends AppError {
  readonly code = 'config_invalid';
}

/** IPv4 that is not of the public Internet (IANA special-purpose registry). */
const INTERNAL_V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const;
/** Of IPv6 only global unicast is public, and not these parts of it, some of which carry an IPv4 address. */
const INTERNAL_V6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const internalV4 = new BlockList();
for (const [net, bits] of INTERNAL_V4) internalV4.addSubnet(net, bits, 'ipv4');
const internalV6 = new BlockList();
for (const [net, bits] of INTERNAL_V6) internalV6.addSubnet(net, bits, 'ipv6');
const globalV6 = new BlockList();
globalV6.addSubnet('2000::', 3, 'ipv6');
const mappedV4 = new BlockList();
mappedV4.addSubnet('::ffff:0:0', 96, 'ipv6');

/** @param address IPv4 or IPv6, without brackets */
export function isInternal(address: string): boolean {
  if (isIP(address) === 4) return internalV4.check(address, 'ipv4');
  // A block list of IPv4 also finds IPv4 written as IPv6.
  if (mappedV4.check(address, 'ipv6')) return internalV4.check(address, 'ipv6');
  return !globalV6.check(address, 'ipv6') || internalV6.check(address, 'ipv6');
}

export interface AddressGuard {
  /**
   * For hosts that are addresses, which are never looked up.
   * @throws {AddressRefusedError}
   */
  check(url: URL): void;
  /** Resolves like the system does, and fails when an address is refused. */
  readonly lookup: LookupFunction;
}

interface AllowList {
  everything: boolean;
  names: Set<string>;
  /** `.example.org` */
  suffixes: string[];
  nets: BlockList;
}

/**
 * @param allow separated by commas: `*`, a host name, `*.example.org`, an address, `10.0.0.0/8`
 * @throws {AllowListInvalidError}
 */
export function createAddressGuard(allow: string): AddressGuard {
  const allowed = parseAllowList(allow);
  let free = LOOKUPS_MAX;
  const waiting: (() => void)[] = [];

  const nameAllowed = (name: string): boolean =>
    allowed.everything ||
    allowed.names.has(name) ||
    allowed.suffixes.some((suffix) => name.endsWith(suffix));

  function refuse(host: string, address: string): void {
    if (allowed.everything || !isInternal(address)) return;
    if (allowed.nets.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')) return;
    throw new AddressRefusedError(
      host === address
        ? `${host} is an internal address: allow it with WEBHOOK_ALLOW`
        : `${host} leads to the internal address ${address}: allow it with WEBHOOK_ALLOW`,
    );
  }

  /** Bounded by the attempts under way, which are. */
  async function resolve(host: string, family: 0 | 4 | 6): Promise<LookupAddress[]> {
    if (free > 0) free--;
    else await new Promise<void>((begin) => waiting.push(begin));
    try {
      return await dnsLookup(host, { all: true, family });
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  }

  const lookup: LookupFunction = (host, options, done) => {
    const family = options.family === 4 || options.family === 6 ? options.family : 0;
    resolve(host, family)
      .then((found) => {
        // One internal address among several is enough: which one is connected to is chance.
        if (!nameAllowed(host.toLowerCase()))
          for (const { address } of found) refuse(host, address);
        return found;
      })
      .then(
        (found) => {
          const first = found[0];
          if (options.all === true) done(null, found);
          else if (first === undefined) done(new Error(`${host} has no address`), '', 0);
          else done(null, first.address, first.family);
        },
        (error: unknown) => {
          done(error instanceof Error ? error : new Error(String(error)), '', 0);
        },
      );
  };

  return {
    check({ hostname }) {
      const host = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
      if (isIP(host) !== 0 && !nameAllowed(host)) refuse(host, host);
    },
    lookup,
  };
}

function parseAllowList(text: string): AllowList {
  const list: AllowList = {
    everything: false,
    names: new Set(),
    suffixes: [],
    nets: new BlockList(),
  };
  for (const given of text.split(',')) {
    const entry = given.trim().toLowerCase();
    if (entry === '') continue;
    const [address = '', bits] = entry.split('/');
    const version = isIP(address);
    if (entry === '*') list.everything = true;
    else if (version !== 0) addNet(list.nets, entry, { address, version, bits });
    else if (/^[a-z0-9_.-]+$/.test(entry)) list.names.add(entry);
    else if (/^\*\.[a-z0-9_.-]+$/.test(entry)) list.suffixes.push(entry.slice(1));
    else throw invalid(entry);
  }
  return list;
}

function addNet(
  nets: BlockList,
  entry: string,
  net: { address: string; version: number; bits: string | undefined },
): void {
  const max = net.version === 4 ? 32 : 128;
  const bits = Number(net.bits ?? max);
  if (!Number.isInteger(bits) || bits < 0 || bits > max || net.bits === '') throw invalid(entry);
  nets.addSubnet(net.address, bits, net.version === 4 ? 'ipv4' : 'ipv6');
}

const invalid = (entry: string): AllowListInvalidError =>
  new AllowListInvalidError(
    `WEBHOOK_ALLOW: expected *, host names, *.suffixes, addresses or networks like 10.0.0.0/8, separated by commas (found ${JSON.stringify(entry)})`,
  );
