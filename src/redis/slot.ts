/** Which of a cluster's 16,384 slots a hash tag is in: CRC16 (XMODEM), as the cluster specification has it. */

export const SLOT_COUNT = 16_384;

/** @param tag what stands between the braces of a key */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = (crc & 0x8000) === 0 ? crc << 1 : ((crc << 1) ^ 0x1021) & 0xffff;
    crc &= 0xffff;
  }
  return crc % SLOT_COUNT;
}
