"""Signs and codes of currencies beside a number: the pattern that finds one, and its unit."""

_UNITS = {
  '$': 'dollar', '€': 'euro', '£': 'pound_money', '¥': 'yen', '₹': 'rupee', '¢': 'cent',
  '\\pounds': 'pound_money', '\\euro': 'euro', '\\texteuro': 'euro', '\\yen': 'yen',
  'USD': 'dollar', 'EUR': 'euro', 'GBP': 'pound_money', 'JPY': 'yen', 'INR': 'rupee',
  'CNY': 'yuan', 'RMB': 'yuan',
}  # fmt: skip
# Money before or after its number. Yes: `$`, `US$`, `€`, `\euro`, `EUR`, `Rs.`. No: `ABC`.
SIGN = (
  r'(?:(?<![A-Za-z])(?:US|HK|NZ|[ACRS])?\\?\$|[€£¥₹₩₽₺₪₫₦₱฿₴₡¢]'
  r'|\\(?:pounds|euro|texteuro|yen)(?![A-Za-z])|(?<![A-Za-z])(?:Rs\.?|(?:USD|EUR|GBP|JPY|CNY|RMB'
  r'|INR|CAD|AUD|CHF|HKD|KRW|BRL|MXN|SEK|NOK|DKK|PLN|RUB|TRY|ZAR|SGD|NZD)(?![A-Za-z])))'
)


def unit(sign):
  """The unit of a currency's sign or code; what no table has is money of a kind of its own."""
  if not sign:
    return ''
  return _UNITS.get(sign) or _UNITS.get(sign.upper().rstrip('.')) or _coined(sign)


def _coined(sign):
  if sign.endswith('$'):
    return 'dollar'
  return 'rupee' if sign.lower().startswith('rs') else sign.lower()
