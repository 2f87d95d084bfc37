import { createHmac } from 'node:crypto';
import { deliveryHeaders } from '../../../src/webhooks/signature.ts';

// The example of the Standard Webhooks specification.
const delivery = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  sentAt: new Date(1_614_265_330_999),
  body: '{"test": 2432232314}',
};
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const SIGNATURE = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';

test('the signature is the one that receivers’ libraries compute', () => {
  expect(deliveryHeaders(SECRET, delivery)).toEqual({
    'webhook-id': delivery.id,
    'webhook-timestamp': '1614265330',
    'webhook-signature': SIGNATURE,
  });
});

const signatureBy = (key: Buffer): string => {
  const signed = `${delivery.id}.1614265330.${delivery.body}`;
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
};

test('several secrets sign side by side', () => {
  const other = Buffer.from('another secret');
  const secrets = `${SECRET} whsec_${other.toString('base64')}`;
  expect(deliveryHeaders(secrets, delivery)['webhook-signature']).toBe(
    `${SIGNATURE} ${signatureBy(other)}`,
  );
});

test('a secret without the prefix is taken as it is, spaces and all', () => {
  expect(deliveryHeaders('my pass phrase', delivery)['webhook-signature']).toBe(
    signatureBy(Buffer.from('my pass phrase')),
  );
});

test('without a secret nothing is signed, and the id is there all the same', () => {
  expect(deliveryHeaders(undefined, delivery)).toEqual({
    'webhook-id': delivery.id,
    'webhook-timestamp': '1614265330',
  });
});
