/** A project's own components, as langgraph.json's `ui` names them. */
import './components.css';
import { shared } from 'shared-by-the-page';

const Weather = ({ city }) => (
  <div className="weather p-4">
    It rains in {city}, says {shared}
  </div>
);

export default { weather: Weather };
