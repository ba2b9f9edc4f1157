# Writes holidays.txt: pip install exchange_calendars==4.13.2 && python3 holidays.py > holidays.txt
import datetime
import exchange_calendars

FIRST, LAST = 2015, 2028
MARKETS = ["XNYS", "XTSE", "XLON", "XPAR", "XETR", "XSHG", "XHKG", "XTKS"]

print("# Weekdays on which an exchange has no session, by market and year. Known up to the last year listed.")
print(f"# Source: exchange_calendars {exchange_calendars.__version__} (Apache-2.0, https://github.com/gerrymanoim/exchange_calendars),")
print("# by holidays.py beside this file.")
for name in MARKETS:
    bound = exchange_calendars.calendar_utils.get_calendar(name).bound_max()
    last = min(LAST, bound.year if bound is not None else LAST)
    calendar = exchange_calendars.get_calendar(name, start=f"{FIRST}-01-01", end=f"{last}-12-31")
    sessions = {s.date() for s in calendar.sessions}
    print(name, calendar.tz)
    for year in range(FIRST, last + 1):
        day, off = datetime.date(year, 1, 1), []
        while day.year == year:
            if day.weekday() < 5 and day not in sessions:
                off.append(day.strftime("%m%d"))
            day += datetime.timedelta(days=1)
        print(year, *off)
