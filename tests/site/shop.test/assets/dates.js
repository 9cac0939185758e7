// A stand-in for a date library, renamed and without a banner.
(function (root) {
  function Moment(date) { this._d = date; }
  Moment.prototype.format = function () { return this._d.toLocaleDateString("en-GB", { day: "numeric", month: "long" }); };
  Moment.prototype.isBefore = function (other) { return this._d < other._d; };
  function moment(date) { return new Moment(date ? new Date(date) : new Date()); }
  moment.version = "2.10.6";
  moment.fn = Moment.prototype;
  moment.isMoment = function (what) { return what instanceof Moment; };
  moment.isDate = function (what) { return what instanceof Date; };
  moment.utc = moment.unix = moment;
  moment.duration = function (ms) { return { asMilliseconds: function () { return ms; } }; };
  root.moment = moment;
})(window);
